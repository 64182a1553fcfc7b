"""What leaves the project: outlines, fonts, animations and ONNX files."""
