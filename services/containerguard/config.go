package containerguard

import "github.com/ironpost/ironpost/internal/setting"

// Config is the section [container].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// DockerSocket is the path of Docker's socket.
	DockerSocket string `toml:"docker_socket"`
	// PollIntervalSecs is how often the list of containers is read.
	PollIntervalSecs int `toml:"poll_interval_secs"`
	// PolicyPath is a file or folder of policies.
	PolicyPath string `toml:"policy_path"`
	// AutoIsolate lets policies act; without it every action is a dry run.
	AutoIsolate bool `toml:"auto_isolate"`
}

// DefaultConfig returns what holds when nothing is set: not enabled, and when enabled only a dry run.
func DefaultConfig() Config {
	return Config{DockerSocket: "/var/run/docker.sock", PollIntervalSecs: 10, PolicyPath: "/etc/ironpost/policies"}
}

// Validate returns every value that may not be used.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("docker_socket", setting.Path(c.DockerSocket))
	p.Add("poll_interval_secs", setting.Between(c.PollIntervalSecs, 1, 3600))
	p.Add("policy_path", setting.Path(c.PolicyPath))
	return p
}
