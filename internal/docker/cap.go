package docker

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer is how many bytes an engine, or who stands in for it, may answer: in one
// whole answer, or in one line of the event stream, which holds all labels of a container.
const maxAnswer = 64 << 20

// capped limits the size of every answer.
type capped struct {
	next http.RoundTripper
	most int
}

// RoundTrip implements http.RoundTripper.
func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		resp.Body = &lineCap{ReadCloser: resp.Body, max: c.most}
	case strings.HasSuffix(r.URL.Path, "/logs"): // an endless stream, whose lines are capped by its reader
	default:
		resp.Body = &totalCap{ReadCloser: resp.Body, left: int64(c.most), max: c.most}
	}
	return resp, nil
}

type totalCap struct {
	io.ReadCloser
	left int64
	max  int
}

// Read implements io.Reader.
func (c *totalCap) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("%w: answer is longer than %d bytes", ErrTooLarge, c.max)
	}
	return n, err
}

type lineCap struct {
	io.ReadCloser
	line, max int
}

// Read implements io.Reader.
func (c *lineCap) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.line += n
	if last := bytes.LastIndexByte(p[:n], '\n'); last >= 0 {
		c.line = n - last - 1
	}
	if c.line > c.max {
		return 0, fmt.Errorf("%w: event is longer than %d bytes", ErrTooLarge, c.max)
	}
	return n, err
}
