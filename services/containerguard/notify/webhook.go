package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	requestTimeout = 10 * time.Second
	maxText        = 3000    // Slack shows no more of a text
	maxAnswer      = 4 << 10 // read, so that the connection can be used again
)

// failure is why an attempt did not succeed.
type failure struct {
	err         error         // never names the URL, which is a secret with some services
	final       bool          // another attempt would have the same answer
	unavailable bool          // the webhook is unreachable or refuses every request for now: no message is sent for a while
	limited     bool          // too many requests, which says nothing about the message
	wait        time.Duration // as the webhook asked, 0 if it did not
}

// post sends body once. It returns nil if the webhook accepted it.
func (n *Notifier) post(ctx context.Context, to string, body []byte) *failure {
	if to == "" {
		return &failure{err: errors.New("no webhook is configured: container.webhook_url"), final: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return &failure{err: errors.New("the webhook's URL cannot be used"), final: true}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ironpost")
	resp, err := n.client.Do(req)
	if err != nil {
		if withURL, ok := errors.AsType[*url.Error](err); ok {
			err = withURL.Err
		}
		return &failure{err: fmt.Errorf("webhook: %w", err), unavailable: !errors.Is(err, context.DeadlineExceeded)}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	_ = resp.Body.Close()
	err = fmt.Errorf("webhook answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return nil
	case code/100 == 3:
		return &failure{err: fmt.Errorf("%w: redirects are not followed", err), final: true}
	case code == http.StatusTooManyRequests:
		return &failure{err: err, unavailable: true, limited: true, wait: retryAfter(resp)}
	default:
		temporary := code >= 500 || code == http.StatusRequestTimeout
		return &failure{err: err, final: !temporary, wait: retryAfter(resp)}
	}
}

// retryAfter returns the seconds of RFC 9110, section 10.2.3, at most a minute; 0 for a date.
func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, lastDelay)
}

// safeText makes a text with parts from outside harmless where it is shown: no control
// characters, no markup that mentions people or hides where a link leads (Slack: escape
// &, < and >), and not too long.
func safeText(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case b.Len() > maxText:
			b.WriteString("…")
			return b.String()
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '@': // @channel, @here
			b.WriteString("@\u2060")
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}
