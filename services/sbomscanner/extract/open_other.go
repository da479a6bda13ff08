//go:build !unix

package extract

const nonBlocking = 0
