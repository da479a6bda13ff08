package safety

// Count returns how many containers count as isolated.
func (s *State) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.data.Held)
}
