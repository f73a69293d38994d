"""What a lab's author uses: skeletons, mutants, selftest, the students' archive."""
