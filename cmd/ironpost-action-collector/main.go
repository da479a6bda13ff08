// Command ironpost-action-collector runs the action collector in a process of its own, on the bus of a
// daemon.
package main

import (
	"context"
	"os"

	"github.com/ironpost/ironpost/cmd/internal/suite"
)

func main() {
	os.Exit(suite.OS(suite.Single(suite.ActionCollector())).Run(context.Background()))
}
