package compose_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ironpost/ironpost/internal/testenv"
)

// stack is docker-compose.yml as Compose understands it. A key that is not here fails the test: whoever adds one to the file decides
// whether it gives a container more rights.
type stack struct {
	Version  string
	Services map[string]*service
	Networks map[string]struct {
		Internal   bool
		DriverOpts map[string]string `yaml:"driver_opts"`
	}
	Volumes map[string]map[string]any
}

type service struct {
	Image, User, Restart  string
	Entrypoint, Command   []string
	Profiles              []string
	DependsOn             map[string]any `yaml:"depends_on"`
	Environment           map[string]string
	Labels                map[string]string
	CapAdd                []string `yaml:"cap_add"`
	CapDrop               []string `yaml:"cap_drop"`
	SecurityOpt           []string `yaml:"security_opt"`
	GroupAdd              []string `yaml:"group_add"`
	ReadOnly              bool     `yaml:"read_only"`
	NetworkMode           string   `yaml:"network_mode"`
	Networks              map[string]any
	Ports, Volumes, Tmpfs []string
	MemLimit              string `yaml:"mem_limit"`
	ShmSize               string `yaml:"shm_size"`
	PidsLimit             int    `yaml:"pids_limit"`
	StopGracePeriod       string `yaml:"stop_grace_period"`
	Logging               struct {
		Driver  string
		Options map[string]string
	}
	Healthcheck struct {
		Test              []string
		Interval, Timeout string
		StartPeriod       string `yaml:"start_period"`
		Retries           int
	}
}

// config runs docker-compose config on the shipped file, with these variables only.
func config(t *testing.T, env ...string) (stdout, stderr string, err error) {
	t.Helper()
	path, err := exec.LookPath("docker-compose")
	testenv.Require(t, "docker-compose", err)
	none := filepath.Join(t.TempDir(), "env") // not the .env of this checkout
	require.NoError(t, os.WriteFile(none, nil, 0o600))
	cmd := exec.CommandContext(t.Context(), path, "--file", "../../docker-compose.yml", "--env-file", none, "--profile", "monitoring", "config")
	var out, problems bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &problems
	err = cmd.Run()
	return out.String(), problems.String(), err
}

func TestStackNeedsItsPreparation(t *testing.T) {
	_, problems, err := config(t)
	require.Error(t, err)
	require.Contains(t, problems, "run make up, or deploy/compose/prepare.sh")
}

// What the stack may do, at most: docs/compose.md says why.
func TestStackGivesNoMoreRightsThanDocumented(t *testing.T) {
	text, problems, err := config(t, "IRONPOST_HOST=stage")
	require.NoError(t, err, problems)
	require.Empty(t, problems)
	require.NotRegexp(t, `//[^/\s]*:[^/\s]*@`, text, "a URL with a password")
	var s stack
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&s))
	require.Len(t, s.Services, 13)

	secret := regexp.MustCompile(`(?i)password|secret|token|_key$`)
	var ports, onHost, asRoot, withDocker, writable, withoutNetwork []string
	for name, c := range s.Services {
		require.True(t, c.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, c.CapDrop, name)
		require.Equal(t, []string{"no-new-privileges:true"}, c.SecurityOpt, name)
		require.Positive(t, c.PidsLimit, name)
		require.NotEmpty(t, c.MemLimit, name)
		require.Equal(t, map[string]string{"max-size": "10m", "max-file": "3"}, c.Logging.Options, name)
		require.Equal(t, "true", c.Labels["ironpost.protected"], name)
		if name != "migrate" { // it ends
			require.Equal(t, "unless-stopped", c.Restart, name)
			require.NotEmpty(t, c.Healthcheck.Test, name)
		}
		if name != "ebpf-engine" {
			require.Empty(t, c.CapAdd, name)
		}
		for variable, value := range c.Environment {
			require.False(t, secret.MatchString(variable) && !strings.HasPrefix(value, "/"), "%s: %s is not the path of a file", name, variable)
		}
		ports = append(ports, c.Ports...)
		switch c.NetworkMode {
		case "host":
			onHost = append(onHost, name)
		case "none":
			withoutNetwork = append(withoutNetwork, name)
		default:
			require.Empty(t, c.NetworkMode, name)
		}
		if strings.HasPrefix(c.User, "0:") {
			asRoot = append(asRoot, name)
		}
		for _, v := range c.Volumes {
			if strings.Contains(v, "docker.sock") {
				withDocker = append(withDocker, name)
			}
			if strings.HasPrefix(v, "/") && !strings.HasSuffix(v, ":ro") {
				writable = append(writable, name+" "+v)
			}
		}
	}
	require.Equal(t, []string{"NET_ADMIN", "BPF", "PERFMON"}, s.Services["ebpf-engine"].CapAdd)
	require.ElementsMatch(t, []string{"ebpf-engine"}, asRoot)
	require.ElementsMatch(t, []string{"ebpf-engine", "prometheus", "grafana"}, onHost)
	require.ElementsMatch(t, []string{"migrate", "postgresql", "socket-proxy", "socket-proxy-logs", "socket-proxy-images"}, withoutNetwork)
	require.ElementsMatch(t, []string{"socket-proxy", "socket-proxy-logs", "socket-proxy-images"}, withDocker)
	require.ElementsMatch(t, []string{"ebpf-engine /sys/fs/bpf:/sys/fs/bpf:rw"}, writable)
	slices.Sort(ports)
	require.Equal(t, []string{
		"127.0.0.1:4222:4222/tcp", "127.0.0.1:4443:4443/tcp", "127.0.0.1:5514:5514/tcp", "127.0.0.1:5514:5514/udp", "127.0.0.1:9464:9464/tcp",
		"127.0.0.1:9466:9466/tcp", "127.0.0.1:9467:9467/tcp", "127.0.0.1:9468:9468/tcp", "127.0.0.1:9469:9469/tcp",
	}, ports)
	require.True(t, s.Networks["bus"].Internal)
	require.Equal(t, map[string]string{"com.docker.network.bridge.enable_icc": "false", "com.docker.network.bridge.enable_ip_masquerade": "false"},
		s.Networks["published"].DriverOpts)
}
