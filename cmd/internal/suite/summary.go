package suite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/internal/config"
)

// greet is the first thing in the log: what runs, and by which configuration.
func (h *house) greet(loaded *config.Loaded) {
	from := "defaults and environment"
	if loaded.Found {
		from = loaded.Path
	}
	h.log.WithFields(logrus.Fields{
		"version": Version(), "pid": os.Getpid(), "config": from, "data_dir": h.cfg.General.DataDir, "host": h.cfg.General.Host,
	}).Info("ironpost starting")
	for _, w := range loaded.Warnings {
		h.log.WithField("warning", w).Warn("configuration warning")
	}
	if dir := h.cfg.General.DataDir; openToAll(dir) {
		h.log.WithFields(logrus.Fields{"path": dir, "try": "chmod o-w " + dir}).Warn("everybody may write in the data folder")
	}
}

// summarise tells people what is watched, what is not and why, and where to look.
func (h *house) summarise() {
	for _, m := range h.process.table() {
		log := h.log.WithField("module", m.Name)
		switch {
		case !m.Enabled(h.cfg):
			log.WithField("reason", m.Section+".enabled is false").Info("module is off")
		case m.New == nil:
			log.WithField("reason", "not part of this build").Warn("module is off")
		default:
			log.Info("module is on")
		}
	}
	if c := h.cfg.LogPipeline; c.Enabled {
		h.summariseLogs()
	}
	h.summariseBus()
}

func (h *house) summariseLogs() {
	c := h.cfg.LogPipeline
	if c.SyslogUDP() {
		h.log.WithField("address", c.SyslogBind).Info("watching syslog over UDP")
	}
	if c.SyslogTCP() {
		h.log.WithField("address", c.SyslogTCPBind).Info("watching syslog over TCP")
	}
	if !c.Files() {
		return
	}
	for _, pattern := range c.WatchPaths {
		files, reason := readable(pattern)
		log := h.log.WithField("path", pattern)
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

// readable counts the files of a pattern that can be read, and says why others cannot.
func readable(pattern string) (files int, reason string) {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		return 0, "no such file yet"
	}
	for _, path := range paths {
		switch err := tryRead(path); {
		case err == nil:
			files++
		case errors.Is(err, fs.ErrPermission):
			reason = "no permission to read: run as root, or put the user into the file's group"
		default:
			reason = "not a readable file"
		}
	}
	return files, reason
}

// tryRead does not open what is no regular file: a FIFO would wait for its writer.
func tryRead(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

func (h *house) summariseBus() {
	c := h.cfg.Bus
	if c.Mode != BusEmbedded {
		h.log.WithField("durability", "what is stored is synced as its servers are set (sync_interval)").Info("using an external bus")
		return
	}
	if c.Socket != "" {
		h.log.WithFields(logrus.Fields{"socket": c.Socket, "try": "ironpost status"}).Info("operators may connect")
	}
	for _, w := range h.bus.server.Warnings() {
		h.log.WithField("reason", w).Warn("the bus is not all there")
	}
	if address := h.bus.server.ObserverAddr(); address != "" {
		h.log.WithFields(logrus.Fields{
			"address": address, "try": "nats --server " + address + " sub ironpost.alerts",
		}).Info("anyone on this machine may watch")
	}
}
