package main

import (
	"archive/zip"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the real daemon together with this command.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, noRaceSleep) // of each command
			// The path of a unix socket may have 107 bytes: the work folder is too deep for one.
			run, err := os.MkdirTemp("", "ip") //nolint:usetesting // its path is too long
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(run) })
			env.Setenv("RUN", run)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("REPO", repo)
			env.Setenv("NEXT_MONTH", time.Now().AddDate(0, 1, 0).Format(time.DateOnly))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfor": waitFor,
			"exit":    exits,
			"append":  appendTo,
			"hup":     hup,
			"zip":     zipFolder,
			"serve":   serveFolder,
			"expand":  expand,
		},
		RequireExplicitExec: true,
	})
}

// waitFor repeats a command until it succeeds, and its output matches:
// waitfor ironpost status, waitfor grepped 'high' ironpost alerts.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: waitfor [grepped pattern] command…")
	}
	var want *regexp.Regexp
	if args[0] == "grepped" && len(args) > 2 {
		want, args = regexp.MustCompile(args[1]), args[2:]
	}
	var err error
	ok := eventually(func() bool {
		err = ts.Exec(args[0], args[1:]...)
		return err == nil && (want == nil || want.MatchString(ts.ReadFile("stdout")))
	})
	if !ok {
		ts.Fatalf("%v never succeeded: %v", args, err)
	}
}

// appendTo appends one file of the script to another: append auth.log more.txt.
func appendTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: append file more")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteString(ts.ReadFile(args[1]))
	ts.Check(errors.Join(err, f.Close()))
}

// zipFolder packs the files of a folder: zip all.zip records.
func zipFolder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: zip archive folder")
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	file, err := os.Create(path)
	ts.Check(err)
	archive := zip.NewWriter(file)
	ts.Check(archive.AddFS(os.DirFS(ts.MkAbs(args[1]))))
	ts.Check(errors.Join(archive.Close(), file.Close()))
}

// serveFolder serves a folder over HTTP and sets a variable to its URL: serve OSV osv.
func serveFolder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve variable folder")
	}
	server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[1]))))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// expand replaces variables in a file: expand ignore.toml.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: expand file")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// hup asks the process of a PID file to read its configuration again: hup $RUN/ironpost.pid.
func hup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hup file")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	process, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(process.Signal(syscall.SIGHUP))
}

// exits checks an exit code: exit 3 ironpost config validate.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit code command…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	var failed interface{ ExitCode() int }
	if errors.As(err, &failed) {
		code = strconv.Itoa(failed.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("%v: exit code %s, not %s", args[1:], code, args[0])
	}
}

// eventually repeats try until it is true or patience is over.
func eventually(try func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if try() {
			return true
		}
	}
	return false
}
