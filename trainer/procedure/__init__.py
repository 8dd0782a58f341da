"""From labelled rows to a fitted model, a calibrator and a threshold, without looking ahead."""
