//go:build accept && linux

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// serverProgram is the static program of a container that behaves as one kind of web server and writes an access log to its
// output. A shop has a flaw: what is posted to /upload.php can be requested below /uploads/, and then connects to whom the
// request names. A forger writes what it is told to its log.
const serverProgram = `package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	mu       sync.Mutex
	uploaded = map[string]bool{}
)

func main() {
	kind := os.Args[1]
	fixed := map[string]int{
		"everything": 200, "error": 500, "missing": 404, "forbidden": 403, "login": 401, "moved": 301, "redirect": 302, "see-other": 303,
		"unavailable": 503, "gateway": 502, "not-modified": 304, "empty": 204, "partial": 206, "teapot": 418,
		"front-controller": 200, "single-page": 200, "soft-404": 200, "json": 200, "slow": 200, "proxied": 200,
	}
	bodies := map[string]string{
		"front-controller": "<?php page ?>", "single-page": "<div id=app></div>", "soft-404": "page not found", "json": "{\"error\":\"no such path\"}",
	}
	http.ListenAndServe(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := fixed[kind], bodies[kind]
		stem := r.URL.Path
		switch {
		case kind == "slow":
			time.Sleep(200 * time.Millisecond)
		case kind == "thumbnails" || kind == "static":
			status = 404
			if stem == "/" || kind == "thumbnails" && stem == "/images/thumb.php" {
				status = 200
			}
		case kind == "shop":
			status = shop(r)
		case kind == "forger":
			status = 200
			lines, _ := io.ReadAll(r.Body)
			os.Stdout.Write(lines)
		}
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		if f := r.Header.Get("X-Forwarded-For"); kind == "proxied" && f != "" {
			client = strings.TrimSpace(strings.Split(f, ",")[0]) // as many do
		}
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "/login")
		}
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			io.WriteString(w, body)
		}
		if kind != "forger" {
			fmt.Printf("%s - - [%s] \"%s %s HTTP/1.1\" %d %d \"-\" \"%s\"\n", client, time.Now().Format("02/Jan/2006:15:04:05 -0700"), r.Method, r.URL.RequestURI(), status, len(body), r.UserAgent())
		}
	}))
}

func shop(r *http.Request) int {
	name := strings.TrimPrefix(r.URL.Path, "/uploads/")
	mu.Lock()
	defer mu.Unlock()
	switch {
	case r.URL.Path == "/upload.php":
		uploaded[r.URL.Query().Get("name")] = true
		return 200
	case !uploaded[name]:
		return 404
	}
	if to := r.URL.Query().Get("to"); to != "" {
		if c, err := net.DialTimeout("tcp", to, 5*time.Second); err == nil {
			go func() { time.Sleep(time.Hour); c.Close() }()
		}
	}
	return 200
}
`

// buildServer returns the path of the program.
func buildServer(t *testing.T) string {
	t.Helper()
	return buildProgram(t, "server", serverProgram)
}

// buildProgram builds a static program of one file and returns its path.
func buildProgram(t *testing.T, name, source string) string {
	t.Helper()
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	cmd := exec.Command("go", "build", "-o", program, file)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}
