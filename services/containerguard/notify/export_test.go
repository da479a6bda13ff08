package notify

import "time"

// SetRetryDelay makes every delay between attempts d.
func (n *Notifier) SetRetryDelay(d time.Duration) {
	n.retryDelay = func(int) time.Duration { return d }
}

// FileName returns the name of the file of a message.
func FileName(id string) string { return fileName(id) }
