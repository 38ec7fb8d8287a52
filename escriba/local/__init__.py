"""The whole pipeline on one machine: an embedded AWS and a dispatcher that feeds the real handlers."""
