exec manystream run rows.jsonl -o results.jsonl --model claude-haiku-4-5 --max-tokens 300
