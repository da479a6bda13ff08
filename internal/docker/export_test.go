package docker

// SetMaxResponse bounds responses to n bytes.
func (c *Client) SetMaxResponse(n int) { c.maxResponse = n }
