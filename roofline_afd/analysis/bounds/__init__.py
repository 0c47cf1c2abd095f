"""What no deployment can beat: the roofline of the FFN stage, and what uneven loads cost."""
