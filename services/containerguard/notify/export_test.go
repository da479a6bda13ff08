package notify

import "time"

// SetPause makes every pause between tries d.
func (n *Notifier) SetPause(d time.Duration) { n.retryDelay = func(int) time.Duration { return d } }

// FileName is that of the file of a message.
func FileName(id string) string { return fileName(id) }
