package docker

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// Labels that Docker Compose gives its containers.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
)

// Container is a container as Docker describes it. List leaves the fields zero that need
// an Inspect: PID, StartedAt, FinishedAt, RestartPolicy, TTY, LogDriver, LogPath, IPCMode,
// PIDMode and the endpoints' configuration; its Labels are all, those of the image among them.
type Container struct {
	ID      string `json:"id"`   // 64 hex digits
	Name    string `json:"name"` // without the leading slash
	Image   string `json:"image"`
	ImageID string `json:"image_id"`

	Labels      map[string]string `json:"labels,omitempty"`  // those that count: see Inspect
	ImageLabels map[string]string `json:"-"`                 // those that its image brings and that do not count
	Project     string            `json:"project,omitempty"` // of Docker Compose
	Service     string            `json:"service,omitempty"` // of Docker Compose

	State      string    `json:"state"` // created, running, paused, restarting, removing, exited, dead
	Running    bool      `json:"running"`
	Paused     bool      `json:"paused"`
	PID        int       `json:"pid,omitempty"` // on Docker's host; 0 if not running
	Created    time.Time `json:"created"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`

	NetworkMode   string        `json:"network_mode"`           // default, bridge, host, none, container:<id>, a network's name
	Networks      []Endpoint    `json:"networks,omitempty"`     // by network name
	PIDMode       string        `json:"pid_mode,omitempty"`     // empty, host, container:<id>
	IPCMode       string        `json:"ipc_mode,omitempty"`     // private, shareable, host, container:<id>
	SandboxKey    string        `json:"sandbox_key,omitempty"`  // path of the network namespace on Docker's host
	Ports         []Port        `json:"ports,omitempty"`        // published
	Mounts        []Mount       `json:"mounts,omitempty"`       // parts of the host that are visible inside
	RestartPolicy RestartPolicy `json:"restart_policy"`         //
	AutoRemove    bool          `json:"auto_remove,omitempty"`  // started with --rm: removed when it ends
	TTY           bool          `json:"tty,omitempty"`          // its log has one stream
	LogDriver     string        `json:"log_driver,omitempty"`   // such as json-file
	LogPath       string        `json:"log_path,omitempty"`     // json-file only
	RestartCount  int           `json:"restart_count,omitzero"` // by the restart policy
}

// Endpoint is a container's connection to one network, with everything needed to connect
// it again as before.
type Endpoint struct {
	Network   string     `json:"network"` // name
	NetworkID string     `json:"network_id"`
	ID        string     `json:"endpoint_id,omitempty"` // changes with every connect and start
	IPv4      netip.Addr `json:"ipv4,omitzero"`         // not set while the container does not run
	IPv6      netip.Addr `json:"ipv6,omitzero"`
	MAC       string     `json:"mac,omitempty"`
	Aliases   []string   `json:"aliases,omitempty"`
	Subnets   []Subnet   `json:"subnets,omitempty"` // none while the container does not run

	// Configured by the user.
	Links      []string          `json:"links,omitempty"`
	DriverOpts map[string]string `json:"driver_opts,omitempty"`
	GwPriority int               `json:"gw_priority,omitempty"`
	Static     *StaticAddress    `json:"static,omitempty"` // nil: Docker chooses the address
}

// Subnet is a subnet of a network. Gateway is not valid if the network leads nowhere.
type Subnet struct {
	Prefix  netip.Prefix `json:"prefix"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
}

// StaticAddress is the address that the user configured for an endpoint.
type StaticAddress struct {
	IPv4      string   `json:"ipv4,omitempty"`
	IPv6      string   `json:"ipv6,omitempty"`
	LinkLocal []string `json:"link_local,omitempty"`
}

// RestartPolicy is what Docker does when a container ends: Name is no,
// always, unless-stopped or on-failure; MaxRetries is for on-failure only.
type RestartPolicy struct {
	Name       string `json:"name"`
	MaxRetries int    `json:"max_retries,omitempty"`
}

// Port is a published port: Container such as "80/tcp", on Host such as "127.0.0.1:8080".
type Port struct {
	Container string `json:"container"`
	Host      string `json:"host"`
}

// Mount is a folder, volume or file of the host that is mounted in the container.
type Mount struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Writable    bool   `json:"writable,omitempty"`
}

// NetworkOwner returns the id or name of the container whose network this one
// shares, or "" if it has its own.
func (c Container) NetworkOwner() string {
	owner, found := strings.CutPrefix(c.NetworkMode, "container:")
	if !found {
		return ""
	}
	return owner
}

// Ref returns how to name the endpoint's network in a call: its id or, for a container
// that was never started and does not know the id, its name.
func (e Endpoint) Ref() string {
	if e.NetworkID != "" {
		return e.NetworkID
	}
	return e.Network
}

// Containers are named by full id. Networks also by name, because a container that was
// never started knows only the names of its networks.
var (
	fullID     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	networkRef = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$`)
)

// ValidID reports whether id is a full container id.
func ValidID(id string) bool { return fullID.MatchString(id) }

func fromSummary(s container.Summary) Container {
	c := Container{
		ID: s.ID, Image: s.Image, ImageID: s.ImageID, Labels: s.Labels,
		State: s.State, Running: s.State == container.StateRunning || s.State == container.StatePaused,
		Paused: s.State == container.StatePaused, Created: time.Unix(s.Created, 0).UTC(),
		NetworkMode: s.HostConfig.NetworkMode,
	}
	if len(s.Names) > 0 {
		c.Name = strings.TrimPrefix(s.Names[0], "/")
	}
	if s.NetworkSettings != nil {
		c.Networks = endpoints(s.NetworkSettings.Networks)
	}
	c.Project, c.Service = s.Labels[composeProject], s.Labels[composeService]
	return c
}

func fromInspect(r container.InspectResponse) Container {
	var c Container
	if r.ContainerJSONBase != nil {
		c = fromBase(*r.ContainerJSONBase)
	}
	if r.Config != nil {
		c.Image, c.Labels, c.TTY = r.Config.Image, r.Config.Labels, r.Config.Tty
	}
	if n := r.NetworkSettings; n != nil {
		c.Networks, c.SandboxKey = endpoints(n.Networks), n.SandboxKey
		for inner, bindings := range n.Ports {
			for _, b := range bindings {
				c.Ports = append(c.Ports, Port{Container: string(inner), Host: b.HostIP + ":" + b.HostPort})
			}
		}
		slices.SortFunc(c.Ports, func(a, b Port) int { return strings.Compare(a.Container+a.Host, b.Container+b.Host) })
	}
	for _, m := range r.Mounts {
		c.Mounts = append(c.Mounts, Mount{Source: m.Source, Destination: m.Destination, Writable: m.RW})
	}
	c.Project, c.Service = c.Labels[composeProject], c.Labels[composeService]
	return c
}

func fromBase(b container.ContainerJSONBase) Container {
	c := Container{
		ID: b.ID, Name: strings.TrimPrefix(b.Name, "/"), ImageID: b.Image,
		Created: parseTime(b.Created), LogPath: b.LogPath, RestartCount: b.RestartCount,
	}
	if s := b.State; s != nil {
		c.State, c.Running, c.Paused, c.PID = s.Status, s.Running, s.Paused, s.Pid
		c.StartedAt, c.FinishedAt = parseTime(s.StartedAt), parseTime(s.FinishedAt)
	}
	if h := b.HostConfig; h != nil {
		c.NetworkMode, c.PIDMode, c.IPCMode = string(h.NetworkMode), string(h.PidMode), string(h.IpcMode)
		c.RestartPolicy = RestartPolicy{Name: string(h.RestartPolicy.Name), MaxRetries: h.RestartPolicy.MaximumRetryCount}
		c.AutoRemove, c.LogDriver = h.AutoRemove, h.LogConfig.Type
	}
	return c
}

// endpoints converts the networks of a container, ordered by name.
func endpoints(in map[string]*network.EndpointSettings) []Endpoint {
	var out []Endpoint
	for name, s := range in {
		if s != nil {
			out = append(out, endpoint(name, *s))
		}
	}
	slices.SortFunc(out, func(a, b Endpoint) int { return strings.Compare(a.Network, b.Network) })
	return out
}

func endpoint(name string, s network.EndpointSettings) Endpoint {
	e := Endpoint{
		Network: name, NetworkID: s.NetworkID, ID: s.EndpointID, MAC: s.MacAddress,
		Aliases: s.Aliases, Links: s.Links, DriverOpts: s.DriverOpts, GwPriority: s.GwPriority,
	}
	e.IPv4, _ = netip.ParseAddr(s.IPAddress) // empty while stopped
	e.IPv6, _ = netip.ParseAddr(s.GlobalIPv6Address)
	e.Subnets = append(subnet(e.IPv4, s.IPPrefixLen, s.Gateway), subnet(e.IPv6, s.GlobalIPv6PrefixLen, s.IPv6Gateway)...)
	if a := s.IPAMConfig; a != nil && (a.IPv4Address != "" || a.IPv6Address != "" || len(a.LinkLocalIPs) > 0) {
		e.Static = &StaticAddress{IPv4: a.IPv4Address, IPv6: a.IPv6Address, LinkLocal: a.LinkLocalIPs}
	}
	return e
}

// subnet returns the subnet that an address is in, nothing if there is none.
func subnet(address netip.Addr, bits int, gateway string) []Subnet {
	prefix, err := address.Prefix(bits)
	if err != nil || !prefix.IsValid() || bits == 0 {
		return nil
	}
	s := Subnet{Prefix: prefix}
	s.Gateway, _ = netip.ParseAddr(gateway)
	return []Subnet{s}
}

// settings is the reverse of endpoint for what the user configured, and the hardware
// address; before API 1.44 Docker derives that from the IP address.
func (e Endpoint) settings() *network.EndpointSettings {
	s := &network.EndpointSettings{Links: e.Links, Aliases: e.Aliases, DriverOpts: e.DriverOpts, GwPriority: e.GwPriority, MacAddress: e.MAC}
	if e.Static != nil {
		s.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: e.Static.IPv4, IPv6Address: e.Static.IPv6, LinkLocalIPs: e.Static.LinkLocal}
	}
	return s
}

// parseTime reads a time of the API. Docker writes Go's zero time for "never".
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
