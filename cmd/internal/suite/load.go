package suite

import (
	"os"

	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/ownership"
	"github.com/ironpost/ironpost/internal/setting"
)

// DefaultPath is the configuration file that is read when none is named. It need not exist.
const DefaultPath = "/etc/ironpost/ironpost.toml"

// Source is where a configuration is read from, besides the environment of the process.
type Source struct {
	// Path is the file, and Named: the user chose it, so it must exist.
	Path  string
	Named bool
	// Flags are the command-line flags that were given.
	Flags []config.Flag
	// Trusted are the users who alone may be able to change the file and what it names, if it does not turn strict_modes off; nil: anyone.
	Trusted ownership.Users
}

// Load returns the effective configuration and the origin of each value. Every mistake, and everything that others than from.Trusted can change, is in one *config.Error; a file that cannot be read
// is another error.
func Load(from Source) (Config, *config.Loaded, error) {
	options := config.Options{
		Path:    from.Path,
		Named:   from.Named,
		Environ: os.Environ(),
		Ignore:  ignored(),
		Flags:   from.Flags,
	}
	if from.Trusted != nil {
		options.Check = func(cfg any) []setting.Problem { return from.changeable(*cfg.(*Config)) }
	}
	return config.Load(DefaultConfig(), options)
}

// ignored lists the variables of Ironpost that set no key.
func ignored() []string {
	return []string{"IRONPOST_TEST_*", "IRONPOST_DATA", "IRONPOST_CONFIG"}
}
