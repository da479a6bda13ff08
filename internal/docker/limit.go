package docker

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxResponse bounds the bytes of a response, or of one line of the event stream, which
// holds all labels of a container: whatever answers at the socket may not exhaust memory.
const maxResponse = 64 << 20

// limitedTransport limits the size of every response.
type limitedTransport struct {
	next  http.RoundTripper
	limit int
}

// RoundTrip implements http.RoundTripper.
func (t limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		resp.Body = &lineLimiter{ReadCloser: resp.Body, limit: t.limit}
	case strings.HasSuffix(r.URL.Path, "/logs"): // an endless stream, whose reader limits each line
	case strings.HasSuffix(r.URL.Path, "/images/get"): // ExportImage has a limit of its own
	default:
		resp.Body = &bodyLimiter{ReadCloser: resp.Body, left: int64(t.limit), limit: t.limit}
	}
	return resp, nil
}

// bodyLimiter fails the reading of a body that is longer than limit bytes.
type bodyLimiter struct {
	io.ReadCloser

	left  int64
	limit int
}

// Read implements io.Reader.
func (c *bodyLimiter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("%w: response is longer than %d bytes", ErrTooLarge, c.limit)
	}
	return n, err
}

// lineLimiter fails the reading of a body with a line longer than limit bytes.
type lineLimiter struct {
	io.ReadCloser

	line, limit int
}

// Read implements io.Reader.
func (c *lineLimiter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.line += n
	if last := bytes.LastIndexByte(p[:n], '\n'); last >= 0 {
		c.line = n - last - 1
	}
	if c.line > c.limit {
		return 0, fmt.Errorf("%w: event is longer than %d bytes", ErrTooLarge, c.limit)
	}
	return n, err
}
