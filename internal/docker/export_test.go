package docker

// SetMost makes the longest answer n bytes.
func (c *Client) SetMost(n int) { c.most = n }
