//go:build !unix

package main

import "io"

// screenWidth is not known here.
func screenWidth(io.Writer) int { return 0 }
