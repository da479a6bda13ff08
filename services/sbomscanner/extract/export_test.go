package extract

import "time"

// Settle sets how long a file must have been unchanged for the cache to keep it.
func (e *Extractor) Settle(d time.Duration) { e.settled = d }
