"""What people read of a campaign or study: files, report, pictures, MLflow."""
