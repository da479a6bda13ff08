package suite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/config"
)

// logStartup writes the first log entries: the version, the configuration and its warnings.
func (a *app) logStartup(loaded *config.Loaded) {
	from := "defaults and environment"
	if loaded.Found {
		from = loaded.Path
	}
	a.log.WithFields(logrus.Fields{
		"version": Version(), "pid": os.Getpid(), "config": from, "data_dir": a.cfg.General.DataDir, "host": a.cfg.General.Host,
	}).Info("ironpost starting")
	for _, w := range loaded.Warnings {
		a.log.WithField("warning", w).Warn("configuration warning")
	}
	if dir := a.cfg.General.DataDir; worldWritable(dir) {
		a.log.WithFields(logrus.Fields{"path": dir, "try": "chmod o-w " + dir}).Warn("every user may write to the data folder")
	}
}

// logModules logs what is watched, what is not and why, and how to connect.
func (a *app) logModules() {
	for _, m := range a.process.Program.table() {
		log := a.log.WithField("module", m.Name)
		switch {
		case !m.Enabled(a.cfg):
			log.WithField("reason", m.Section+".enabled is false").Info("module is off")
		case m.New == nil:
			log.WithField("reason", "not part of this build").Warn("module is off")
		default:
			log.Info("module is on")
		}
	}
	if a.cfg.LogPipeline.Enabled {
		a.logSources()
	}
	a.logBus()
}

func (a *app) logSources() {
	c := a.cfg.LogPipeline
	if c.SyslogUDP() {
		a.log.WithField("address", c.SyslogBind).Info("watching syslog over UDP")
	}
	if c.SyslogTCP() {
		a.log.WithField("address", c.SyslogTCPBind).Info("watching syslog over TCP")
	}
	if c.SyslogTLS() {
		a.log.WithField("address", c.SyslogTLSBind).Info("watching syslog over TLS")
	}
	if c.Unix() {
		a.log.WithField("socket", c.UnixSocket).Info("watching a unix socket")
	}
	if !c.Files() {
		return
	}
	for _, pattern := range c.WatchPaths {
		files, reason := readable(pattern)
		log := a.log.WithField("path", pattern)
		if reason != "" {
			log = log.WithField("reason", reason)
		}
		if files == 0 {
			log.Info("not watching yet")
			continue
		}
		log.WithField("files", files).Info("watching files")
	}
}

// readable counts the files of a pattern that can be read, and returns why others cannot.
func readable(pattern string) (files int, reason string) {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		return 0, "no such file yet"
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() { // opening a FIFO would block until it has a writer
			err = fs.ErrInvalid
		}
		if err == nil {
			var f *os.File
			if f, err = os.Open(path); err == nil {
				err = f.Close()
			}
		}
		switch {
		case err == nil:
			files++
		case errors.Is(err, fs.ErrPermission):
			reason = "no permission to read: run as root, or add the user to the file's group"
		default:
			reason = "not a readable file"
		}
	}
	return files, reason
}

// externalDurability says who decides when the messages of an external bus are on the disk.
const externalDurability = "set by sync_interval of the servers of the external bus"

func (a *app) logBus() {
	c := a.cfg.Bus
	if c.Mode != BusEmbedded {
		a.log.WithField("durability", externalDurability).Info("using an external bus")
		return
	}
	if c.Socket != "" {
		a.log.WithFields(logrus.Fields{"socket": c.Socket, "try": "ironpost status"}).Info("operators may connect")
	}
	for _, w := range a.bus.server.Warnings() {
		a.log.WithField("reason", w).Warn("part of the bus is not available")
	}
	address := a.bus.server.ObserverAddr()
	switch {
	case address == "":
	case c.ObserverPublished: // under an address of the host that is not known here
		a.log.WithField("address", address).Info("observers may connect where this address is published")
	default:
		a.log.WithFields(logrus.Fields{
			"address": address, "try": "nats --server " + address + " sub ironpost.alerts",
		}).Info("observers on this machine may connect")
	}
}
