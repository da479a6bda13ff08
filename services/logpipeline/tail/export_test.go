package tail

// Owners returns how many file identities t remembers.
func (t *Tailer) Owners() int { return len(t.owners) }
