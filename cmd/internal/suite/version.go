package suite

import (
	"runtime"
	"runtime/debug"

	"github.com/ironpost/ironpost/internal/metrics"
)

// version is set by the linker: -X github.com/ironpost/ironpost/cmd/internal/suite.version=v1.2.3.
var version = "dev"

// Version returns the version of this binary: the linker's, else the module's, else "dev".
func Version() string { return Build().Version }

// Build returns version, revision and Go version of this binary; an unknown part is empty.
func Build() metrics.Build {
	build := metrics.Build{Version: version, GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build
	}
	if build.Version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		build.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			build.Revision = s.Value
		}
	}
	return build
}
