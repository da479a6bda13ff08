// Command shop is the web server of the demo, with the flaw that is attacked: whatever is posted to /upload is stored, and what is
// stored is executed when it is requested. It writes an access log in the combined format to its output.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	folder    = "/tmp/uploads"
	maxUpload = 1 << 20
)

func main() {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a shop\n") })
	mux.HandleFunc("POST /upload", upload)
	mux.HandleFunc("GET /uploads/{name}", execute)
	server := &http.Server{Addr: ":80", Handler: logged(mux), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func upload(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUpload))
	if err == nil {
		err = os.WriteFile(stored(r.URL.Query().Get("name")), text, 0o600)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// execute runs a stored script, whose first argument is the parameter cmd of the request.
func execute(w http.ResponseWriter, r *http.Request) {
	script := stored(r.PathValue("name"))
	if _, err := os.Stat(script); err != nil {
		http.NotFound(w, r)
		return
	}
	out, _ := exec.CommandContext(r.Context(), "/bin/sh", script, r.URL.Query().Get("cmd")).CombinedOutput()
	_, _ = w.Write(out)
}

func stored(name string) string { return filepath.Join(folder, filepath.Base(name)) }

// statusWriter remembers the status and length of a response.
type statusWriter struct {
	http.ResponseWriter

	status, length int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.length += n
	return n, err
}

func logged(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(answer, r)
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Printf("%s - - [%s] %q %d %d \"-\" %q\n", client, time.Now().Format("02/Jan/2006:15:04:05 -0700"),
			r.Method+" "+r.URL.RequestURI()+" "+r.Proto, answer.status, answer.length, r.UserAgent())
	})
}
