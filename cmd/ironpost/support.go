package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/config"
)

// bundleMode keeps others out: counts and times of a host tell about it.
const bundleMode = 0o600

func (a *app) supportCommand() *cobra.Command {
	var path string
	var yes bool
	cmd := &cobra.Command{
		Use:   "support",
		Short: "write a bundle for a report of a problem",
		Long: `Collects what helps to find a fault, lists it, and writes it into a new file of
mode 0600, if you agree or with --yes. Only fields of a fixed list are taken:
version, kernel, checks of doctor by name, modules with their statuses, times
and counters, streams, and the configuration without its texts. No evidence,
alerts, log lines, addresses, host names, paths, keys and passwords. Look into
it nevertheless before you send it: it is a tar archive of JSON files.`,
		Example: `  ironpost support
  ironpost support --yes -o /root/ironpost-support.tar.gz
  tar -xzOf ironpost-support.tar.gz status.json | jq .`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.support(cmd.Context(), path, yes, cmd.InOrStdin())
		},
	}
	cmd.Flags().StringVarP(&path, "output", "o", "ironpost-support.tar.gz", "`file` to write,\nwhich must not exist")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "write it without asking")
	return cmd
}

// part is one file of the bundle.
type part struct {
	name string
	data []byte
}

func (a *app) support(ctx context.Context, path string, yes bool, answers io.Reader) error {
	parts, err := a.supportParts(ctx)
	if err != nil {
		return err
	}
	files := rows{columns: []column{{"FILE", 30}, {"BYTES", 10}}}
	for _, p := range parts {
		files.add(p.name, fmt.Sprint(len(p.data)))
	}
	a.printTables(files)
	if !yes {
		a.printf("Write these to %s? [y/N]", clean(path))
		if !agrees(answers) {
			return usageError(errors.New("nothing was written: answer y, or use --yes"))
		}
	}
	if err := writeBundle(path, parts); err != nil {
		return err
	}
	a.printf("written: %s", clean(path))
	return nil
}

// agrees reports whether the first line of in is yes.
func agrees(in io.Reader) bool {
	var answer string
	_, _ = fmt.Fscanln(in, &answer)
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(answer))
}

// supportParts collects the files of the bundle. Whatever cannot be asked is left out; status.json then says so.
func (a *app) supportParts(ctx context.Context) ([]part, error) {
	var out []part
	_, loaded, err := a.loadConfig()
	for _, p := range []struct {
		name  string
		value any
	}{
		{"version.json", supportVersion()},
		{"doctor.json", supportChecks(a.examine(ctx))},
		{"configuration.json", supportConfiguration(loaded, err)},
		{"status.json", a.supportStatus(ctx)},
	} {
		text, err := json.MarshalIndent(p.value, "", "  ")
		if err != nil {
			return nil, err
		}
		out = append(out, part{p.name, append(text, '\n')})
	}
	return out, nil
}

func supportVersion() map[string]string {
	build := suite.Build()
	return map[string]string{
		"version": build.Version, "revision": build.Revision, "go": build.GoVersion, "os": runtime.GOOS, "arch": runtime.GOARCH,
		"kernel": kernelRelease(), "time": time.Now().UTC().Format(time.RFC3339),
	}
}

// supportChecks returns the result of each check without its text, which names paths and addresses.
func supportChecks(e examination) []map[string]string {
	out := []map[string]string{}
	for _, c := range e.Checks {
		out = append(out, map[string]string{"name": c.Name, "status": c.Status})
	}
	return out
}

// openTexts are the keys of texts that are one of a few words.
var openTexts = []string{"general.log_level", "general.log_format", "bus.mode", "ebpf.xdp_mode", "log_pipeline.sources", "sbom.engine", "sbom.output_format", "sbom.min_severity"}

// supportConfiguration returns the numbers and switches of the configuration, and of texts whether they are set.
func supportConfiguration(loaded *config.Loaded, err error) map[string]any {
	out := map[string]any{}
	if err != nil || loaded == nil {
		out["invalid"] = true
		return out
	}
	for _, v := range loaded.Values {
		switch v.Data.(type) {
		case bool, int64, int:
			out[v.Key] = v.Data
			continue
		}
		switch {
		case slices.Contains(openTexts, v.Key):
			out[v.Key] = v.Data
		case v.Origin.Kind == config.FromDefault:
			out[v.Key] = "default"
		default:
			out[v.Key] = "set"
		}
	}
	return out
}

// supportModule is a module without its name of the host and the texts of its reasons, of which the topic and the advice stay.
type supportModule struct {
	Name     string            `json:"name"`
	Status   string            `json:"status"`
	Since    time.Time         `json:"since"`
	Reasons  []supportReason   `json:"reasons,omitempty"`
	Counters map[string]uint64 `json:"counters,omitempty"`
}

type supportReason struct {
	Status event.Status `json:"status"`
	Since  time.Time    `json:"since"`
	Amount string       `json:"amount,omitempty"`
	Advice string       `json:"advice,omitempty"` // of docs/operations.md, so a fixed text
}

// supportStatus returns the status of all modules, or that nothing answered.
func (a *app) supportStatus(ctx context.Context) any {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	conn, err := a.connect(ctx)
	if err != nil {
		return map[string]bool{"answered": false}
	}
	defer func() { _ = conn.Close(ctx) }()
	o, err := collectOverview(ctx, conn)
	if err != nil {
		return map[string]bool{"answered": false}
	}
	return struct {
		Answered bool            `json:"answered"`
		Status   event.Status    `json:"status"`
		Hosts    int             `json:"hosts"`
		Uptime   []uint64        `json:"uptime_secs"`
		Modules  []supportModule `json:"modules"`
		Streams  []supportStream `json:"streams"`
	}{true, o.Status, len(o.Hosts), uptimes(o), supportModules(o.Modules), supportStreams(o.Streams)}
}

func uptimes(o overview) (out []uint64) {
	for _, h := range o.Hosts {
		out = append(out, h.UptimeSecs)
	}
	return out
}

// supportModules leaves out counters of single interfaces (name:which), and of modules of an older version those of files, containers and rules.
func supportModules(modules []event.ModuleHealth) []supportModule {
	out := []supportModule{}
	for _, m := range shownModules(modules) {
		s := supportModule{Name: m.Name, Status: m.Status, Since: m.Since, Counters: map[string]uint64{}}
		for name, n := range m.Counters {
			if !strings.Contains(name, ":") && !strings.HasPrefix(name, "correlation_evicted_") {
				s.Counters[name] = n
			}
		}
		for _, d := range m.Details {
			s.Reasons = append(s.Reasons, supportReason{d.Status, d.Since, d.Amount, d.Advice})
		}
		out = append(out, s)
	}
	return out
}

// supportStream is a stream without its durables, whose names have that of the host.
type supportStream struct {
	Name     string   `json:"name"`
	Messages uint64   `json:"messages"`
	Bytes    uint64   `json:"bytes"`
	MaxBytes int64    `json:"max_bytes"`
	LastSeq  uint64   `json:"last_seq"`
	Pending  []uint64 `json:"pending"`
}

func supportStreams(streams []bus.StreamState) []supportStream {
	out := []supportStream{}
	for _, s := range streams {
		shown := supportStream{Name: string(s.Name), Messages: s.Messages, Bytes: s.Bytes, MaxBytes: s.MaxBytes, LastSeq: s.LastSeq}
		for _, d := range s.Durables {
			shown.Pending = append(shown.Pending, d.Pending)
		}
		out = append(out, shown)
	}
	return out
}

// writeBundle writes parts into a new file. What is there already, also a link, is refused.
func writeBundle(path string, parts []part) (err error) {
	var archive bytes.Buffer
	zip := gzip.NewWriter(&archive)
	out := tar.NewWriter(zip)
	for _, p := range parts {
		header := &tar.Header{Name: p.name, Mode: bundleMode, Size: int64(len(p.data)), ModTime: time.Now()}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := out.Write(p.data); err != nil {
			return err
		}
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, bundleMode)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("bundle: %w: name another folder with -o, or try sudo", err)
	}
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	_, err = f.Write(archive.Bytes())
	return errors.Join(err, f.Sync(), f.Close())
}
