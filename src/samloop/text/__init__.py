"""What several rooms need of text: tokenizer, chat template, redaction patterns, rubrics, line formats."""
