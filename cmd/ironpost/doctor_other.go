//go:build !linux

package main

import (
	"runtime"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

// examineSystem checks what the kernel gives; only that of Linux is known.
func examineSystem(e *examination, _ suite.Config) {
	e.skip("kernel", "not checked on "+runtime.GOOS)
}

func examineData(e *examination, _ suite.Config) {
	e.skip("disk", "not checked on "+runtime.GOOS)
}

func kernelRelease() string { return "unknown" }
