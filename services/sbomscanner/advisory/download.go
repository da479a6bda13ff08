package advisory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // the source offers it: it finds damage, not forgery
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

// Limits of a download.
const (
	downloadName    = "download"
	downloadTimeout = time.Hour
	stallTimeout    = time.Minute
	maxSumBytes     = 1 << 10
	maxTag          = 1 << 10
)

var errNotModified = errors.New("not modified")

// download gets a file into staging. It returns errNotModified if the source says that old is what it has. The file has the
// checksums that the source states: X-Goog-Hash, and the file of the same name with .sha256 at its end.
func (u *updater) download(ctx context.Context, name, from string, old *Coverage) (_ *download, err error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	ctx, stall := withStall(ctx, cmp.Or(u.options.StallTimeout, stallTimeout))
	defer stall.stop()
	resp, err := u.get(ctx, from, old)
	if err != nil {
		return nil, stall.explain(err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if err := checkResponse(resp, from); err != nil {
		return nil, err
	}
	file, err := u.staging.OpenFile(downloadName, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), u.staging.Remove(downloadName))
		}
	}()
	sums := newSums()
	if err := u.copyBody(io.MultiWriter(file, sums), resp, name, stall); err != nil {
		return nil, fmt.Errorf("get %s: %w", from, stall.explain(err))
	}
	if err := errors.Join(sums.checkGoog(resp.Header), u.checkSHA256(ctx, from, sums)); err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	d := &download{File: file, url: from, etag: resp.Header.Get("ETag"), modified: resp.Header.Get("Last-Modified")}
	if len(d.etag) > maxTag || len(d.modified) > maxTag {
		d.etag, d.modified = "", ""
	}
	_, err = file.Seek(0, io.SeekStart)
	return d, err
}

// get asks for a file, unless it is still the old one.
func (u *updater) get(ctx context.Context, from string, old *Coverage) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "ironpost")
	req.Header.Set("Accept-Encoding", "identity") // the bytes whose checksum the source states
	if old != nil && old.ETag != "" {
		req.Header.Set("If-None-Match", old.ETag)
	}
	if old != nil && old.LastModified != "" {
		req.Header.Set("If-Modified-Since", old.LastModified)
	}
	return u.client.Do(req)
}

func checkResponse(resp *http.Response, from string) error {
	switch {
	case resp.StatusCode == http.StatusNotModified:
		return errNotModified
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("get %s: the source does not have it", from)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("get %s: %s", from, event.Printable(resp.Status, 100))
	case resp.ContentLength > maxArchiveBytes:
		return fmt.Errorf("get %s: it has %d bytes: at most %d are allowed", from, resp.ContentLength, int64(maxArchiveBytes))
	}
	return nil
}

// copyBody copies what the source sends, up to the limit, for as long as data comes.
func (u *updater) copyBody(to io.Writer, resp *http.Response, name string, stall *stall) error {
	buffer, done := make([]byte, 256<<10), int64(0)
	for {
		n, err := resp.Body.Read(buffer)
		stall.restart()
		if done += int64(n); done > maxArchiveBytes {
			return fmt.Errorf("it has more than %d bytes", int64(maxArchiveBytes))
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		u.options.progress(Progress{Phase: PhaseDownload, Ecosystem: name, Done: done, Total: max(0, resp.ContentLength)})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stall ends a context when it was not restarted for a time.
type stall struct {
	after  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
	ctx    context.Context
}

func withStall(parent context.Context, after time.Duration) (context.Context, *stall) {
	s := &stall{after: after}
	s.ctx, s.cancel = context.WithCancelCause(parent)
	s.timer = time.AfterFunc(after, func() { s.cancel(fmt.Errorf("no data came for %s", after)) })
	return s.ctx, s
}

func (s *stall) restart() { s.timer.Reset(s.after) }

func (s *stall) stop() {
	s.timer.Stop()
	s.cancel(nil)
}

// explain returns why the context ended, if it did, instead of what that led to.
func (s *stall) explain(err error) error {
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	return err
}

// checkSHA256 compares with the file beside the source's, if there is one.
func (u *updater) checkSHA256(ctx context.Context, from string, s *sums) error {
	resp, err := u.get(ctx, from+".sha256", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is not wanted
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusForbidden, http.StatusGone: // storage buckets forbid what they do not have
		return nil
	default:
		return fmt.Errorf("get the .sha256 beside it: %s", event.Printable(resp.Status, 100))
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSumBytes))
	if err != nil {
		return fmt.Errorf("get the .sha256 beside it: %w", err)
	}
	want, err := hex.DecodeString(string(bytes.ToLower(firstField(b))))
	if err != nil || len(want) != sha256.Size {
		return nil // a page that says something else: no checksum is offered
	}
	if !bytes.Equal(want, s.sha256.Sum(nil)) {
		return errors.New("it does not have the checksum of the .sha256 beside it: it is damaged, or was replaced meanwhile")
	}
	return nil
}

func firstField(b []byte) []byte {
	if fields := bytes.Fields(b); len(fields) > 0 {
		return fields[0]
	}
	return nil
}

// sums are the checksums of what is written to it.
type sums struct {
	io.Writer
	crc32c hash.Hash32
	md5    hash.Hash
	sha256 hash.Hash
}

func newSums() *sums {
	s := &sums{crc32c: crc32.New(crc32.MakeTable(crc32.Castagnoli)), md5: md5.New(), sha256: sha256.New()} //nolint:gosec // see the import
	s.Writer = io.MultiWriter(s.crc32c, s.md5, s.sha256)
	return s
}

// checkGoog compares with X-Goog-Hash, which is crc32c=<base64> and md5=<base64>, in one header or several
// (https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash).
func (s *sums) checkGoog(h http.Header) error {
	for value := range strings.SplitSeq(strings.Join(h.Values("X-Goog-Hash"), ","), ",") {
		kind, text, _ := strings.Cut(strings.TrimSpace(value), "=")
		want, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		var have []byte
		switch kind {
		case "crc32c":
			have = binary.BigEndian.AppendUint32(nil, s.crc32c.Sum32())
		case "md5":
			have = s.md5.Sum(nil)
		default:
			continue
		}
		if !bytes.Equal(want, have) {
			return fmt.Errorf("it does not have the %s checksum of the header X-Goog-Hash: it is damaged", kind)
		}
	}
	return nil
}
