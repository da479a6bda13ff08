package docker

// Waiting is how many lines wait to be taken.
func (s *Source) Waiting() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.readers {
		n += len(r.lines)
	}
	return n
}

// Take returns the next lines of one container, which are then done.
func (s *Source) Take(limit int) []Line {
	lines := s.Next(limit)
	if len(lines) > 0 {
		s.Done(lines[0].Container.ID)
	}
	return lines
}
