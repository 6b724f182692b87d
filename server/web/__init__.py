"""The back office: pages for people in Chinese and English, and a JSON twin for each of them."""
