package logpipeline

import (
	"fmt"
	"os"
	"strings"
)

// Description says, for people, what the service will watch and what it leaves
// out, each with its reason.
type Description struct {
	Watching []string
	LeftOut  []string
}

// Describe looks at the configuration and the files as they are now. It may be
// called before Run.
func (s *Service) Describe() Description {
	cfg, book := s.config()
	var d Description
	d.files(cfg)
	d.listeners(cfg)
	d.containers(cfg, s.logsConfig(cfg, nil).Socket)
	d.Watching = append(d.Watching, fmt.Sprintf("%d rules (%s)", book.count(), book.from))
	for _, fault := range book.faults {
		d.LeftOut = append(d.LeftOut, strings.Split(fault.Error(), "\n")...)
	}
	if t := storageTrouble(cfg.Storage); t != "" {
		d.LeftOut = append(d.LeftOut, t)
	}
	return d
}

func (d *Description) files(cfg Config) {
	if !cfg.Files() {
		d.LeftOut = append(d.LeftOut, "files: sources does not hold file")
		return
	}
	for _, path := range cfg.WatchPaths {
		if strings.ContainsAny(path, `*?[`) {
			d.Watching = append(d.Watching, "files "+path)
			continue
		}
		d.file(path)
	}
}

func (d *Description) file(path string) {
	f, err := os.Open(path)
	switch {
	case err == nil:
		_ = f.Close() // only read
		d.Watching = append(d.Watching, "file "+path)
	case os.IsNotExist(err):
		d.LeftOut = append(d.LeftOut, path+": is not there, waiting for it")
	case os.IsPermission(err):
		d.LeftOut = append(d.LeftOut, path+": may not be read by this user, waiting for it")
	default:
		d.LeftOut = append(d.LeftOut, err.Error())
	}
}

func (d *Description) listeners(cfg Config) {
	udp, tcp := cfg.listeners()
	for _, l := range [...]struct{ name, addr string }{{"UDP", udp}, {"TCP", tcp}} {
		if l.addr == "" {
			d.LeftOut = append(d.LeftOut, "syslog "+l.name+": sources does not hold it")
			continue
		}
		d.Watching = append(d.Watching, "syslog "+l.name+" on "+l.addr)
	}
}

func (d *Description) containers(cfg Config, socket string) {
	if !cfg.Docker() {
		d.LeftOut = append(d.LeftOut, "logs of containers: sources does not hold docker")
		return
	}
	d.Watching = append(d.Watching, "logs of containers, by "+socket)
}
