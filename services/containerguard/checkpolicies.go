package containerguard

import (
	"errors"

	"github.com/ironpost/ironpost/services/containerguard/policy"
)

// CheckPolicies returns what is wrong with the policies of c; that there are none is no mistake.
func CheckPolicies(c Config) []error {
	_, _, err := loadPolicies(c.PolicyPath)
	bad, ok := errors.AsType[*policy.Error](err)
	if !ok {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	out := make([]error, len(bad.Problems))
	for i, p := range bad.Problems {
		out[i] = errors.New(p.String())
	}
	return out
}
