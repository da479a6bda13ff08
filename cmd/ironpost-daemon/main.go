// Command ironpost-daemon runs every module of Ironpost and the bus between them
// in one process.
package main

import (
	"context"
	"os"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

func main() {
	os.Exit(suite.OS(suite.Daemon()).Run(context.Background()))
}
