"""Files, trees and commits: encode, decode, walk. No I/O of their own."""
