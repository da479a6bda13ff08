package ebpfengine

import (
	"strings"

	"github.com/ironpost/ironpost/internal/setting"
	"github.com/ironpost/ironpost/services/ebpfengine/detect"
)

// InterfaceAuto stands for the interface of the default route.
const InterfaceAuto = "auto"

// maxInterfaceName is the kernel's IFNAMSIZ without the terminating zero.
const maxInterfaceName = 15

// Config is the section [ebpf].
type Config struct {
	// Enabled starts the module.
	Enabled bool `toml:"enabled"`
	// Interface is where XDP is attached: InterfaceAuto, one name, or several separated by commas.
	Interface string `toml:"interface"`
	// XDPMode is how: auto (native, else skb), native, skb or hw.
	XDPMode string `toml:"xdp_mode"`
	// RingBufferSize is the size of the kernel's ring buffer in bytes, a power of two.
	RingBufferSize int `toml:"ring_buffer_size"`
	// BlocklistMaxEntries bounds the kernel's blocklist.
	BlocklistMaxEntries int `toml:"blocklist_max_entries"`
	// BlocklistFiles are files of addresses and networks to block, reread when they change.
	BlocklistFiles []string `toml:"blocklist_files"`
	// PinPath is the folder of the bpf file system that keeps the program in force without the process.
	PinPath string `toml:"pin_path"`
	// Detect is the section [ebpf.detect].
	Detect detect.Config `toml:"detect"`
}

// DefaultConfig returns what holds when nothing is set: not enabled.
func DefaultConfig() Config {
	return Config{
		Interface: InterfaceAuto, XDPMode: "auto", RingBufferSize: 256 << 10, BlocklistMaxEntries: 10_000,
		BlocklistFiles: []string{}, PinPath: "/sys/fs/bpf/ironpost", Detect: detect.DefaultConfig(),
	}
}

// Validate returns every value that may not be used.
func (c Config) Validate() []setting.Problem {
	var p setting.Problems
	p.Add("interface", checkInterfaces(c.Interface))
	p.Add("xdp_mode", setting.OneOf(c.XDPMode, "auto", "native", "skb", "hw"))
	p.Add("ring_buffer_size", checkRing(c.RingBufferSize))
	p.Add("blocklist_max_entries", setting.Between(c.BlocklistMaxEntries, 1, 1<<20))
	p.Each("blocklist_files", c.BlocklistFiles, setting.Path)
	p.Add("pin_path", checkPins(c.PinPath))
	return append(p, setting.Problems(c.Detect.Validate()).Under("detect")...)
}

// checkPins: the bpf file system knows no names with dots (bpf(2), BPF_OBJ_PIN).
func checkPins(path string) string {
	if what := setting.Path(path); what != "" {
		return what
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
			return setting.Shown(name) + " is no name of an interface: at most 15 characters, no blank, / or :"
		}
	}
	return ""
}

// checkRing: the kernel wants a power of two that is a multiple of the page size (bpf(2), BPF_MAP_TYPE_RINGBUF).
func checkRing(size int) string {
	if what := setting.Between(size, 4<<10, 1<<30); what != "" {
		return what
	}
	if size&(size-1) != 0 {
		return "must be a power of two"
	}
	return ""
}
