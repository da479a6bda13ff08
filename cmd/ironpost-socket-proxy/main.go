// Command ironpost-socket-proxy stands between Docker's socket and the modules that use Docker. It
// forwards the requests of docs/docker-api.md and refuses all others.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/internal/docker"
	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/internal/socketproxy"
)

const (
	checkTimeout = 3 * time.Second
	maxAnswer    = 64 << 10

	flushPatience = time.Second // how long the end waits for the reader of the log
)

const help = `Stands between Docker's socket and the modules of Ironpost that use Docker. It
forwards the requests of docs/docker-api.md and answers all others with 403, so
that who controls a module cannot create or start a container, or change
anything else of Docker.

--allow names the features whose requests are forwarded; session is always
among them. Without it all are, except images: who may export images reads
every file in them.

Anyone who reaches --listen may send those requests. With a path it is a unix
socket of mode 0660: put it into a folder that only the module's user reaches.
Every user of this machine reaches an address and port.

GET /metrics returns how many requests were forwarded and refused.`

// settings are the flags.
type settings struct {
	listen, docker string
	allow          []string
	check          bool
}

func main() {
	logging.IgnoreBrokenPipe()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "ironpost-socket-proxy: %v\n", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:           "ironpost-socket-proxy",
		Short:         "Forward the requests that Ironpost sends to Docker, and no others",
		Long:          help,
		Example:       "  ironpost-socket-proxy --allow inventory,pause,disconnect,restart-policy\n  ironpost-socket-proxy --check",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.check {
				return check(cmd.Context(), s.listen, cmd.OutOrStdout())
			}
			return serve(cmd.Context(), s, cmd.ErrOrStderr())
		},
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&s.listen, "listen", "127.0.0.1:2375", "`address` and port, or path of a unix\nsocket, to listen on")
	flags.StringVar(&s.docker, "docker", "/var/run/docker.sock", "`path` of Docker's socket")
	flags.StringSliceVar(&s.allow, "allow", nil, "`features` whose requests are forwarded, see\ndocs/docker-api.md (default: all but images)")
	flags.BoolVar(&s.check, "check", false, "ask the proxy that listens there whether Docker\nanswers, and exit with 1 if not; print its counts")
	return cmd
}

func serve(ctx context.Context, s settings, out io.Writer) error {
	output := logging.NewOutput(out)
	defer output.Close(flushPatience)
	log, err := logging.New(output, logging.Options{Level: "info", Format: logging.JSON})
	if err != nil {
		return err
	}
	output.ReportTo(log)
	features, err := docker.ParseFeatures(s.allow)
	if err != nil {
		return fmt.Errorf("--allow: %w", err)
	}
	p, err := socketproxy.New(socketproxy.Options{Docker: s.docker, Rules: docker.Allow(features...), Log: log})
	if err != nil {
		return err
	}
	listener, err := socketproxy.Listen(ctx, s.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	log.WithField("address", listener.Addr().String()).WithField("docker", s.docker).Info("forwarding the allowed requests")
	err = p.Serve(ctx, listener)
	forwarded, refused := p.Counts()
	log.WithField("forwarded", forwarded).WithField("refused", refused).Info("stopped")
	return err
}

// check asks the proxy at address whether Docker answers, and prints what it counted.
func check(ctx context.Context, address string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, socketproxy.Network(address), address)
	}}}
	for _, path := range []string{"/_ping", socketproxy.MetricsPath} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy"+path, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		_ = response.Body.Close()
		switch {
		case err != nil:
			return err
		case response.StatusCode != http.StatusOK:
			return errors.New("Docker does not answer: " + response.Status)
		case path == socketproxy.MetricsPath:
			_, err = out.Write(text)
			return err
		}
	}
	return nil
}
