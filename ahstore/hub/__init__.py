"""What Asset Hub means by folders, assets, labels and evaluations."""
