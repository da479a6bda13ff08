package policy

// Decode reads one document as Load reads a file.
func Decode(name string, data []byte) (*Set, error) {
	var problems problemList
	f := decode(name, data, &problems)
	if err := problems.err(); err != nil {
		return nil, err
	}
	return newSet(f.policies), nil
}
