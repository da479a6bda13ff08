package policy

import "github.com/ironpost/ironpost/internal/tomlfile"

// Decode reads one document as Load reads a file.
func Decode(name string, data []byte) (*Set, error) {
	var problems tomlfile.Problems
	f := decode(name, data, &problems)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return newSet(f.policies), nil
}
