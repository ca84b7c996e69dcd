"""Where things lie in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / 'src' / 'edgeflow'
BUILD = ROOT / 'build'
DIST = ROOT / 'dist'
MODELS = ROOT / 'tests' / 'models'
EXAMPLES = ROOT / 'examples'
NODE_MODULES = ROOT / 'node_modules'

# Packages of node_modules that go into the bundle.
BUNDLED_PACKAGES = {'@huggingface/tokenizers': 'edgeflow-text.js', '@huggingface/jinja': 'edgeflow-jinja.js'}
