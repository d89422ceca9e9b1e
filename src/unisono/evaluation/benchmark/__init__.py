"""The benchmark's own parts: what is asked, who is asked, how answers are judged and tabled; starts no process."""
