package sbomscanner

import (
	"time"

	"github.com/ironpost/ironpost/services/sbomscanner/suppression"
)

// CheckExceptions returns what is wrong with the files of exceptions of c.
func CheckExceptions(c Config) []error {
	if _, err := suppression.Load(c.IgnoreFile, c.VEXFiles, time.Now()); err != nil {
		return []error{err}
	}
	return nil
}
