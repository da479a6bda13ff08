// Command ironpost-container-guard runs the container guard in a process of its own, on the bus of a
// daemon.
package main

import (
	"context"
	"os"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

func main() {
	os.Exit(suite.OS(suite.Single(suite.ContainerGuard())).Run(context.Background()))
}
