package ebpfengine

import (
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/ebpfengine/blocklist"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// InterfaceAuto stands for the interfaces of the default routes.
const InterfaceAuto = "auto"

// maxInterfaceName is the kernel's IFNAMSIZ without the terminating zero.
const maxInterfaceName = 15

// Config is the section [ebpf].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// Interface is what to watch: InterfaceAuto, or names separated by commas.
	Interface string `toml:"interface"`
	// XDPMode is the XDP mode: auto (native, else skb), native, skb or hw.
	XDPMode string `toml:"xdp_mode"`
	// RingBufferSize is the size of the kernel's ring buffer in bytes, a power of two.
	RingBufferSize int `toml:"ring_buffer_size"`
	// BlocklistMaxEntries bounds the kernel's blocklist, for IPv4 and IPv6 each.
	BlocklistMaxEntries int `toml:"blocklist_max_entries"`
	// BlocklistFiles are files of addresses and networks to block, reread when they change.
	BlocklistFiles []string `toml:"blocklist_files"`
	// Allow are addresses, prefixes, and files of them, that are never blocked and cause no finding.
	Allow []string `toml:"allow"`
	// PinPath is the folder of a bpf file system that keeps programs and lists in force without the process.
	PinPath string `toml:"pin_path"`
	// Detect is the section [ebpf.detect].
	Detect detect.Config `toml:"detect"`
}

// DefaultConfig returns the defaults: not enabled.
func DefaultConfig() Config {
	return Config{
		Interface: InterfaceAuto, XDPMode: "auto", RingBufferSize: 256 << 10, BlocklistMaxEntries: 10_000,
		BlocklistFiles: []string{}, Allow: []string{}, PinPath: "/sys/fs/bpf/ironpost", Detect: detect.DefaultConfig(),
	}
}

// Validate returns a problem for every value that is not valid.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("interface", checkInterfaces(c.Interface))
	p.Add("xdp_mode", setting.OneOf(c.XDPMode, "auto", "native", "skb", "hw"))
	p.Add("ring_buffer_size", checkRing(c.RingBufferSize))
	p.Add("blocklist_max_entries", setting.Between(c.BlocklistMaxEntries, 1, 1<<20))
	p.Each("blocklist_files", c.BlocklistFiles, setting.Path)
	p.Each("allow", c.Allow, checkAllow)
	p.Add("pin_path", checkPins(c.PinPath))
	return append(p, setting.Problems(c.Detect.Validate()).Under("detect")...)
}

// checkAllow requires an address, a prefix or the absolute path of a file.
func checkAllow(element string) string {
	if blocklist.IsAllowFile(element) {
		return setting.Path(element)
	}
	if err := blocklist.CheckAllowed(element); err != nil {
		return err.Error() + "; a file needs an absolute path"
	}
	return ""
}

// checkPins refuses paths with dots, which the bpf file system does not allow in names (bpf(2), BPF_OBJ_PIN).
func checkPins(path string) string {
	if problem := setting.Path(path); problem != "" {
		return problem
	}
	if strings.Contains(path, ".") {
		return setting.Shown(path) + " has a dot, which the bpf file system refuses in names"
	}
	return ""
}

// Interfaces returns the names in Interface.
func (c Config) Interfaces() []string {
	names := strings.Split(c.Interface, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
	}
	return names
}

func checkInterfaces(value string) string {
	names := Config{Interface: value}.Interfaces()
	for _, name := range names {
		switch {
		case name == "":
			return "has an empty name, must be auto or names separated by commas"
		case name == InterfaceAuto && len(names) > 1:
			return "auto stands alone, must be auto or names separated by commas"
		case len(name) > maxInterfaceName || strings.ContainsAny(name, "/ \t:") || name == "." || name == "..":
			return setting.Shown(name) + " is not the name of an interface: at most 15 characters, no blank, / or :"
		}
	}
	return ""
}

// checkRing requires a power of two that is a multiple of the page size, as the kernel does (bpf(2), BPF_MAP_TYPE_RINGBUF).
func checkRing(size int) string {
	if problem := setting.Between(size, 4<<10, 1<<30); problem != "" {
		return problem
	}
	if size&(size-1) != 0 {
		return "must be a power of two"
	}
	return ""
}
