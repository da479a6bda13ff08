package testenv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// postgresPassword is the password of the superuser postgres.
const postgresPassword = "secret" // on loopback, of a server that lives for one test

// Postgres is a private PostgreSQL server on loopback. Its methods fail the test they are
// given; they may be called concurrently, except Kill, Stop and Start.
type Postgres struct {
	Addr string // host:port
	Dir  string // everything the server writes

	bin      string
	settings []string
	owner    *syscall.Credential // nil: this process's user
	daemon   *daemon
}

// PostgreSQL starts a private server for one test and ends it afterwards. settings are such as
// "max_connections=20". That takes about two seconds. It needs Debian's postgresql; the test is
// skipped without it.
func PostgreSQL(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	bin, err := postgresPrograms()
	Require(t, "postgresql", err)
	p := &Postgres{Addr: FreeAddr(t), bin: bin, settings: settings}
	p.Dir, err = os.MkdirTemp("", "ippg") //nolint:usetesting // its owner is another user
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Kill(t)
		require.NoError(t, os.RemoveAll(p.Dir))
	})
	p.owner, err = postgresOwner()
	Require(t, "postgresql", err)
	p.Own(t, p.Dir)
	p.initialize(t)
	p.Start(t)
	return p
}

// postgresPrograms returns the folder of initdb and postgres, of the newest version.
func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("no initdb, install postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })), nil
}

// postgresOwner returns who runs the server: it refuses to run as root.
func postgresOwner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// Own gives a folder to the user that runs the server.
func (p *Postgres) Own(t testing.TB, dir string) {
	t.Helper()
	if p.owner != nil {
		require.NoError(t, os.Chown(dir, int(p.owner.Uid), int(p.owner.Gid)))
	}
}

func (p *Postgres) initialize(t testing.TB) {
	t.Helper()
	password := filepath.Join(p.Dir, "password")
	require.NoError(t, os.WriteFile(password, []byte(postgresPassword), 0o600))
	p.Own(t, password)
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.bin, "initdb"), "--pgdata", filepath.Join(p.Dir, "data"), "--username", "postgres",
		"--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	cmd.Dir, cmd.SysProcAttr = p.Dir, &syscall.SysProcAttr{Credential: p.owner}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// Start starts the server after Kill or Stop and waits until it takes connections.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	host, port, err := net.SplitHostPort(p.Addr)
	require.NoError(t, err)
	args := []string{"-D", filepath.Join(p.Dir, "data"), "-h", host, "-p", port, "-k", ""}
	for _, setting := range p.settings {
		args = append(args, "-c", setting)
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		cmd := exec.CommandContext(context.Background(), filepath.Join(p.bin, "postgres"), args...)
		cmd.Dir = p.Dir
		p.daemon, err = startProcess(cmd, filepath.Join(p.Dir, "log"),
			&syscall.SysProcAttr{Credential: p.owner, Pdeathsig: syscall.SIGQUIT, Setpgid: true}, func() error { return nil })
		require.NoError(t, err)
		if p.ready(t.Context(), deadline) {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
			t.Fatalf("PostgreSQL does not start: %s", log[max(0, len(log)-2000):])
		}
	}
}

// ready waits until the server takes connections, or ends: that happens while processes of a
// killed one still run.
func (p *Postgres) ready(ctx context.Context, deadline time.Time) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return false
		case <-p.daemon.done:
			<-tick.C
			return false
		case <-tick.C:
			state, _ := os.ReadFile(filepath.Join(p.Dir, "data", "postmaster.pid"))
			pid, _, _ := bytes.Cut(state, []byte("\n"))
			if string(pid) == strconv.Itoa(p.daemon.cmd.Process.Pid) && bytes.Contains(state, []byte("\nready")) {
				return true
			}
		}
	}
	return false
}

// Kill ends the server's first process with SIGKILL; its others end by themselves.
func (p *Postgres) Kill(t testing.TB) { p.end(t, syscall.SIGKILL) }

// Stop ends the server and its connections in order.
func (p *Postgres) Stop(t testing.TB) { p.end(t, syscall.SIGINT) }

func (p *Postgres) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if p.daemon == nil {
		return
	}
	_ = p.daemon.cmd.Process.Signal(signal) // fails if it has ended
	<-p.daemon.done
	p.daemon = nil
}

// URL returns where the superuser connects to a database.
func (p *Postgres) URL(database string) string {
	return p.UserURL("postgres", postgresPassword, database)
}

// UserURL returns where a user connects to a database.
func (p *Postgres) UserURL(name, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(name, password), Host: p.Addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Exec executes SQL as the superuser with psql and returns what it prints.
func (p *Postgres) Exec(t testing.TB, database, sql string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", p.URL(database), "-f", "-")
	cmd.Stdin = strings.NewReader(sql)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", sql, errs.String())
	return strings.TrimSpace(string(out))
}

// Environment returns the variables with which PostgreSQL's own programs reach the server as the superuser.
func (p *Postgres) Environment() []string {
	host, port, _ := net.SplitHostPort(p.Addr)
	return []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=postgres", "PGPASSWORD=" + postgresPassword}
}
