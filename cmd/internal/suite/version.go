package suite

import (
	"runtime"
	"runtime/debug"

	"github.com/ironpost/ironpost/internal/metrics"
)

// version is set by the linker: -X github.com/ironpost/ironpost/cmd/internal/suite.version=v1.2.3.
var version = "dev"

// revision is the commit of the source, set by the linker like version where the build has no repository.
var revision = ""

// Version returns the version of this binary: the linker's, else the module's, else "dev".
func Version() string { return Build().Version }

// Build returns version, revision and Go version of this binary; an unknown part is empty.
func Build() metrics.Build {
	build := metrics.Build{Version: version, Revision: revision, GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build
	}
	if build.Version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		build.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && build.Revision == "" {
			build.Revision = s.Value
		}
	}
	return build
}
