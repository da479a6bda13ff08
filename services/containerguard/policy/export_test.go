package policy

// Decode reads one document as Load reads a file.
func Decode(name string, data []byte) (*Set, error) {
	var found problemList
	f := decode(name, data, &found)
	if err := found.err(); err != nil {
		return nil, err
	}
	return newSet(f.policies), nil
}
