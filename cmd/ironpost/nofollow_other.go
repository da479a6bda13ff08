//go:build !unix

package main

// noFollow is for systems that have no such flag.
const noFollow = 0
