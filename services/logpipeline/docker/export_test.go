package docker

// Waiting is how many lines wait to be taken.
func (s *Source) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}
