"""What a content-inspecting guard lets through: profiles, and the filters that prove it."""
